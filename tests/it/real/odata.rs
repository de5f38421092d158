//! The OData server as it is: both versions, paging, CSRF tokens, and what it refuses.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::peers::{OData, Peer, System};

const V2: &str = "/sap/opu/odata/sap";
const V4: &str = "/odata/v4/sap";

/// An order for one product.
fn order(customer: &str, quantity: &str) -> Value {
    json!({
        "SalesOrderType": "OR", "SalesOrganization": "NL01", "DistributionChannel": "10", "OrganizationDivision": "00",
        "SoldToParty": customer, "PurchaseOrderByCustomer": "WEB-1",
        "to_Item": [{ "Material": "MAT-001", "RequestedQuantity": quantity, "RequestedQuantityUnit": "PC" }],
    })
}

#[tokio::test]
async fn both_versions_describe_themselves_and_give_a_customer() {
    let peer = Peer::shared(System::OData);
    let odata = OData::new(&peer);
    for (base, version) in [(V2, "Version=\"1.0\""), (V4, "Version=\"4.0\"")] {
        let target = format!("{base}/API_BUSINESS_PARTNER/$metadata");
        let answer = odata.request(Method::GET, &target).header("Accept", "application/xml").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{base}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(version) && text.contains("A_BusinessPartner"), "{base}: {text:.300}");
    }

    let customer = "API_BUSINESS_PARTNER/A_BusinessPartner('1000002')";
    let expand = "$expand=to_BusinessPartnerAddress,to_Customer/to_CustomerSalesArea";
    let v2 = odata.get(&format!("{V2}/{customer}?{expand}")).await;
    assert_eq!(v2["d"]["BusinessPartnerFullName"], "Installatiebedrijf Oost 2");
    assert_eq!(v2["d"]["LastChangeDate"], "/Date(1769990400000)/");
    assert_eq!(v2["d"]["to_BusinessPartnerAddress"]["results"].as_array().unwrap().len(), 2);
    let area = &v2["d"]["to_Customer"]["to_CustomerSalesArea"]["results"][0];
    assert_eq!(area["CustomerPriceGroup"], "02");

    let v4 = odata.get(&format!("{V4}/{customer}?$expand=to_BusinessPartnerAddress")).await;
    assert_eq!(v4["LastChangeDate"], "2026-02-02");
    assert_eq!(v4["to_BusinessPartnerAddress"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn decimals_of_version_2_are_texts() {
    let peer = Peer::shared(System::OData);
    let odata = OData::new(&peer);
    let price = "API_SLSPRICINGCONDITIONRECORD_SRV/A_SlsPrcgConditionRecord('0000000102')";
    let read = odata.get(&format!("{V2}/{price}?$expand=to_SlsPrcgCndnRecordScale")).await;
    assert_eq!(read["d"]["ConditionRateValue"], "9.25");
    let scales = read["d"]["to_SlsPrcgCndnRecordScale"]["results"].as_array().unwrap();
    let scales: Vec<_> = scales.iter().map(|s| (&s["ConditionScaleQuantity"], &s["ConditionRateValue"])).collect();
    assert_eq!(
        scales,
        [(&json!("1"), &json!("9.25")), (&json!("10"), &json!("8.25")), (&json!("100"), &json!("7.25"))]
    );
}

#[tokio::test]
async fn pages_lead_from_one_to_the_next_until_all_was_read_once() {
    let peer = Peer::shared(System::OData);
    let odata = OData::new(&peer);
    let stock = "API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod?$select=Material,Plant,InventoryStockType";
    let place =
        |row: &Value| ["Material", "Plant", "InventoryStockType"].map(|field| row[field].as_str().unwrap().to_owned());

    let mut pages = Vec::new();
    let mut next = Some(format!("{V2}/{stock}"));
    while let Some(target) = next {
        let page = odata.get(&target).await;
        pages.push(page["d"]["results"].as_array().unwrap().iter().map(place).collect::<Vec<_>>());
        next = page["d"]["__next"].as_str().map(str::to_owned);
        assert!(next.as_ref().is_none_or(|next| next.starts_with(peer.address())), "{next:?}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 25, 9]);
    let every: BTreeSet<_> = pages.concat().into_iter().collect();
    assert_eq!(every.len(), 84);

    let mut pages = Vec::new();
    let mut next = Some(stock.rsplit('/').next().unwrap().to_owned());
    while let Some(link) = next {
        // Of version 4 they are relative to the service.
        let page = odata.get(&format!("{V4}/API_MATERIAL_STOCK_SRV/{link}")).await;
        pages.push(page["value"].as_array().unwrap().iter().map(place).collect::<Vec<_>>());
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(pages.concat().into_iter().collect::<BTreeSet<_>>(), every);

    let read = odata.get(&format!("{V2}/{stock}&$skip=80&$top=30&$inlinecount=allpages")).await;
    assert_eq!((read["d"]["results"].as_array().unwrap().len(), &read["d"]["__count"]), (4, &json!("84")));
}

#[tokio::test]
async fn nobody_reads_without_credentials() {
    let peer = Peer::shared(System::OData);
    let target = format!("{}{V2}/API_BUSINESS_PARTNER/A_BusinessPartner", peer.address());
    tradebridge::install_crypto();
    let answer = reqwest::get(target).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_write_needs_the_token_of_its_session() {
    let peer = Peer::own(System::OData);
    let mut odata = OData::new(&peer);
    let orders = format!("{V2}/API_SALES_ORDER_SRV/A_SalesOrder");
    let refused = odata.request(Method::POST, &orders).json(&order("1000002", "10")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.headers()["x-csrf-token"], "Required");

    odata.fetch_token(&format!("{V2}/API_SALES_ORDER_SRV/")).await;
    let made = odata.request(Method::POST, &orders).json(&order("1000002", "10")).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    // The customer's own price from ten pieces.
    assert_eq!((&made["d"]["SalesOrder"], &made["d"]["TotalNetAmount"]), (&json!("5000001"), &json!("80")));
    assert_eq!(made["d"]["to_Item"]["results"][0]["SalesOrderItem"], "10");

    let changed = format!("{orders}('5000001')");
    let state = json!({ "OverallSDProcessStatus": "C" });
    let refused = odata.request(Method::PATCH, &changed).json(&state).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::PRECONDITION_REQUIRED);
    let request = odata.request(Method::PATCH, &changed).header("If-Match", "*");
    assert!(request.json(&state).send().await.unwrap().status().is_success());
    assert_eq!(odata.get(&changed).await["d"]["OverallSDProcessStatus"], "C");

    let ended = odata.request(Method::POST, "/peer/end-sessions").send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let refused = odata.request(Method::POST, &orders).json(&order("1000002", "10")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.headers()["x-csrf-token"], "Required");
}

#[tokio::test]
async fn an_order_beyond_the_limit_is_refused_in_sap_s_shape() {
    let peer = Peer::shared(System::OData);
    let mut odata = OData::new(&peer);
    odata.fetch_token(&format!("{V2}/API_SALES_ORDER_SRV/")).await;
    let orders = format!("{V2}/API_SALES_ORDER_SRV/A_SalesOrder");
    // It has 50 euros left, and a piece costs 10.
    let refused = odata.request(Method::POST, &orders).json(&order("1000003", "6")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error"]["code"], "UKM/101");
    let message = &refused["error"]["message"];
    assert_eq!(message["value"], "Credit limit of customer 1000003 is exceeded by 10.00 EUR");
    assert_eq!(refused["error"]["innererror"]["errordetails"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tests_add_what_they_need() {
    let peer = Peer::own(System::OData);
    let mut odata = OData::new(&peer);
    let partners = format!("{V2}/API_BUSINESS_PARTNER/A_BusinessPartner");
    odata.fetch_token(&format!("{V2}/API_BUSINESS_PARTNER/")).await;
    let partner = json!({
        "BusinessPartner": "9000001", "BusinessPartnerCategory": "2", "BusinessPartnerFullName": "Nieuw",
        "to_BusinessPartnerAddress": { "results": [{ "AddressID": "1", "CityName": "Breda", "Country": "NL" }] },
    });
    let made = odata.request(Method::POST, &partners).json(&partner).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let read = odata.get(&format!("{partners}('9000001')?$expand=to_BusinessPartnerAddress")).await;
    assert_eq!(read["d"]["to_BusinessPartnerAddress"]["results"][0]["CityName"], "Breda");
    assert!(read["d"]["LastChangeDate"].is_string() && read["d"]["LastChangeTime"].is_string(), "{read}");
}
